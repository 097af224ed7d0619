"""The sets as tasks of Inspect, with what asks and what scores.

``safety_tasks``       the safety sets as tasks
``math_tasks``         MATH-500 and AIME 2024 as tasks
``self_verification``  F1 of a model's verdicts on its own answers
``proactive``          do thoughts check safety unasked?
``suites``             which tasks belong to a suite
``making``             makes a task of a set
``decoding``           how answers are decoded, and what is refused
``asking``             asks the model under test
``answers``            thought and answer, whichever provider gave them
``server``           a model behind an OpenAI-compatible server
``replay``             a model that gives stored responses
``opened``             the judges that a running task asks
``figures``            what each figure is called, and which way is better
``metrics``            metrics that are NaN where nothing is scored
``scorers``            Inspect's scorers around a judge and around boxed math
"""
