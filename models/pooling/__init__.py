"""The rung between the rule and a model of one's own: what the pooled models of all use cases share.

A use case's own part is `models/<use_case>/pooled.py`. Frames in, frames out, as everywhere in `models`; who consented is
decided by the step that hands the frames over (`integrator/steps/pooling.py`), never here.
"""
