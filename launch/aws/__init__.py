"""What EMR and SageMaker share: clients, errors that say what to do, checked requests, estimates of cost."""
