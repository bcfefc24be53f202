"""A bundle on the network: the page, the REST endpoint, SageMaker's, Prometheus' metrics."""
