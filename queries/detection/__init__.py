"""Object detection on stored responses: regions, mining, scoring, the evaluation of PASCAL VOC.

Running a network on images belongs in ``fstore.workflows``.
"""
