"""What was made, as MLflow is told it. The only place that imports mlflow."""
