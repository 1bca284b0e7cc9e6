"""Tables, figures and one-file HTML pages of what a run did."""
