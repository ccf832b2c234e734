"""F and its relatives on sequences with ground truth: counting, tables, curves, pictures, one page."""
