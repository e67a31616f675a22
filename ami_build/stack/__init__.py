"""The CloudFormation stack: deployed, described, destroyed."""
