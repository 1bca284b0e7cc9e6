# A wrapper: the work is in tasks.py, which needs nothing but python3.
.PHONY: demo test lint bench docs
demo test lint bench docs:
	python3 tasks.py $@
