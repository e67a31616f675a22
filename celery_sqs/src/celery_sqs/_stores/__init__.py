"""Result stores: Celery's own key/value backends behind the pushed results."""
