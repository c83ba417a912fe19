"""Where columns meet layers: one model a file."""
