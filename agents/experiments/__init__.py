"""Experiments: recipes, the results of their runs, and the tables, figures and page made from them."""
