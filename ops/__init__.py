"""Everything that talks to ZenML, MLflow or a stack, beside the steps."""
