"""Prices of EC2 machines."""

HOURLY = {
    "t3.micro": 0.0104, "t3.small": 0.0208, "t3.medium": 0.0416, "c7i.large": 0.08925,
    "c7i.xlarge": 0.1785, "c6i.large": 0.085, "m7i.large": 0.1008,
}  # fmt: skip
"""Dollars an hour on demand, Linux, us-east-1, March 2026:
https://aws.amazon.com/ec2/pricing/on-demand/"""
