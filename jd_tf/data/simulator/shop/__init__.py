"""The goods of the simulated shop and the policy that shows them."""
