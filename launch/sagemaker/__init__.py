"""Amazon SageMaker: the requests for processing, training and tuning jobs, and what runs in their containers."""
