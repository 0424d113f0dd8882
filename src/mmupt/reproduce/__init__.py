"""The paper's tables in the offline world: what is run (`runs.py`), what is shown of it beside the paper's own numbers
(`tables.py`, `paper.py`), what must hold (`claims.py`), made once and kept (`making.py`, `kept.py`), on one page
(`page.py`)."""
