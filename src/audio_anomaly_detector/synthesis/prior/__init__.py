"""An endless stream of made machines that a backbone learns from; far wider than `aad synth`.

It shares no machine, fault or hall with the sets of `synthesis.data_set`, which stay held out.
"""
