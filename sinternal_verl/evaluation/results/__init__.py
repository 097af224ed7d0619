"""What logs hold: rows, tables, comparisons.

``tries``       which of several logs of one run is read
``logs``        logs of Inspect, and their samples
``rows``        one row an item, epoch and scorer of a log
``statistics``  intervals, pass@k, F1, paired differences
``summary``     what rows add up to
``published``   the paper's figures, beside ours
``grid``        a table as text, Markdown and CSV
``page``        tables as HTML
``forest``      values with their intervals as a picture
``picture``     the pictures of a table, a comparison and judges
``table``       the table of a run, in all its forms
``pairs``       the scores of two runs, item by item
``compare``     runs side by side
``agreement``   what several judges say of the same answers
``rejudge``     judges the answers of logs again
"""
