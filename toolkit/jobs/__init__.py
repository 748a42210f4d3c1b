"""Jobs: tasks that take long, show how far they are, and survive the death of their worker.

What is to be done, and the steps in which it is done, belong to the app whose job it is.
"""
