"""SQS and SNS calls: clients, queues, batching."""
