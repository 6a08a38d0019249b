"""How good an edit is.

formulas.py    frames or features in, numbers out
table.py       what each number is called, how it is written, and what it means
measures.py    which metric is measured how, with the models of clip.py, dino.py and aesthetic.py
memo.py        what was measured before
comparison.py  means and intervals over many edits
"""
