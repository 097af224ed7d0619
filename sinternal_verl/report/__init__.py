"""A run as one page: curves, what went wrong, and the rollouts behind a point of a curve.

``find``           which files a run has left
``folders``        looks below and above a folder, within bounds
``lines``          lines of JSON, whatever wrote them
``values``         a value of JSON as a number, a name or a text
``metrics``        metrics files as one course of steps
``dumps``          the files of rollouts
``rollouts``       the dumps of a run as columns, with texts of a sample
``sample``         which groups of rollouts a page holds
``lacks``          what a run left nothing of, in words
``read``           reads a run
``run``            what was read of a run
``view``           what a page shows of a run, and in which words
``curve``          a metric over the steps: where it stands, and whether a change is more than noise
``facts``          a run as its tiles, alerts and charts ask for it
``known_metrics``  the metrics of this package and verl, with the chart of each
``derived``        metrics that are reckoned from others and from the rollouts
``charts``         which metric stands on which chart
``tiles``          the figures at the top
``alerts``         what went wrong: a rule, and how rules look
``rules``          the rules
``setting``        configuration, differences from the recipe, versions, hardware, seeds, data
``several``        several runs: differences, and tables with intervals over seeds
``compose``        makes a page of runs
``summary``        the short of a page as text
``page``           a page as one HTML file
``template``       the page's HTML, style and script
``drawing``        charts as the page's script draws them
``numbers``        the rollouts whose numbers a page holds
``payload``        numbers and texts as the page carries them
``inert``          text that nothing obeys
``step_pages``     texts of all rollouts, in files beside the page
``words``          numbers in words
"""
