"""The simulated users: tastes, visits, actions and sessions."""
