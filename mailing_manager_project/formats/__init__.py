"""How dates and times are written in the console, by language; numbers are as Django has them."""
