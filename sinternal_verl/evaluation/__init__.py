"""The paper's evaluation suite, on Inspect: sets, tasks, judges, tables and comparisons.

Sets:

``item``        one item of a set, as a task takes it
``sets``        the sets: what each is, where it is, and which rows the paper takes
``fetching``    the file of a set at its pinned place, once
``schemas``     items of rows, whether in the publisher's columns or the sister repository's
``trotter``     attacks made of bare goals by chains of ciphers
``loading``     a set's items in order, and where they are from
``place``       where a set's rows come from: a file, or where it is published
``validation``  a validation file for verl, of slices of sets

Tasks:

``registry``           what Inspect finds by its entry point
``tasks``              the safety sets as tasks
``math_tasks``         MATH-500 and AIME 2024 as tasks
``self_verification``  F1 of a model's verdicts on its own answers
``proactive``          do thoughts check safety unasked?
``suites``             which tasks belong to a suite
``making``             makes a task of a set
``decoding``           how answers are decoded, and what is refused
``asking``             asks the model under test
``answers``            thought and answer, whichever provider gave them
``replay``             a model that gives stored responses

Scores:

``judge``    what a judge is asked, and what it says
``opened``   the judges that a running task asks
``figures``  what each figure is called, and which way is better
``metrics``  metrics that are NaN where nothing is scored
``scorers``  Inspect's scorers around a judge and around boxed math

Running:

``requirement``    is Inspect here?
``models``         what a model may be on the command line
``folders``        what is missing in a model's folder
``serving``        serves models to this process by vLLM
``keeper``         runs a server for as long as whoever asked for it lives
``cast``           the models of a call: the one under test, and those of judges
``asked``          the words of a call, and what is wrong with them
``plan``           which tasks run, and who judges each
``configuration``  what decides the figures of a folder
``progress``       the progress line
``suite``          runs the tasks of a plan

Results:

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
