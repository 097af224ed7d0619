"""The paper's evaluation suite, on Inspect: sets, tasks, judges, tables and comparisons.

``item``        one item of a set, as a task takes it
``judge``       what a judge is asked, and what it says
``logs``        logs of Inspect, and their samples
``rows``        one row an item, epoch and scorer of a log
``statistics``  intervals, pass@k, F1, paired differences
``results``     what rows add up to
``published``   the paper's figures, beside ours
``grid``        a table as text, Markdown and CSV
``page``        tables as HTML
``picture``     figures as a picture
``table``       the table of a run, in all its forms
``pairs``       the scores of two runs, item by item
``compare``     runs side by side
``agreement``   what several judges say of the same answers
``rejudge``     judges the answers of logs again
"""
