"""Scenarios on platforms, side by side, each cell a `lab up` in a process of its own.

cells     what there is to do, what each cell needs, and how it is shared out among runners
schedule  what may start next, decided from values alone
work      a cell that is being done: its processes, one after the other
outcome   how a cell ended, from the results that it left, and what is collected of it
run       all of it together
"""
