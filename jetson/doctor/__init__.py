"""What stands in the way on this machine: one small check each, with one mend for each problem.

Nothing here needs NumPy: a package that may be missing, broken, or crash its process is asked in a process of
its own (:mod:`legoclf.jetson.doctor.probes`).
"""
