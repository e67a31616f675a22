from celery_sqs.testing.server import main

main()
