"""The package behind the report on knowledge distillation for lightweight visual classifiers."""
