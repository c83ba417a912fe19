"""Action logs of the JData 2016 contest."""
