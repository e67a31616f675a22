"""What runs on AWS, built and taken down: the machine image, the CloudFormation stack."""
