"""The paper's evaluation suite, on Inspect.

``item``      one item of a set, as a task takes it
``judge``     what a judge is asked, and what it says
``registry``  what Inspect finds by its entry point
``sets``      what each set is, where its rows are, and its items
``judges``    judges of answers and thoughts
``tasks``     the sets as tasks, with what asks and what scores
``running``   from the words of a call to the end of its tasks
``results``   what logs hold: rows, tables, comparisons
"""
