"""The paper's evaluation suite, on Inspect: sets, tasks, judges, tables and comparisons.

``item``        one item of a set, as a task takes it
``judge``       what a judge is asked, and what it says
``sets``        the sets: what each is, where it is, and which rows the paper takes
``fetching``    the file of a set at its pinned place, once
``place``       where a set's rows come from: a file, or where it is published
``schemas``     items of rows, whether in the publisher's columns or the sister repository's
``trotter``     attacks made of bare goals by chains of ciphers
``loading``     a set's items in order, and where they are from
``validation``  a validation file for verl, of slices of sets
"""
