"""A run before it is paid for: every step of it on a throw-away stack, and what the whole costs."""
