.DEFAULT_GOAL := help
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
unexport PYTHONDONTWRITEBYTECODE  # hundreds of processes start: modules are compiled once
PIP    := $(BIN)/pip --disable-pip-version-check

.PHONY: help run test test-install test-localstack test-aws-like celery-suite compat containers images check lint parity soak bench facenet models clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.run ## the whole system on this machine, ready at http://127.0.0.1:8000
	@exec $(BIN)/facerec up --with-parent

test: $(VENV)/.dev models ## the tests
	@$(BIN)/pytest -n 4 --dist worksteal -m "not soak and not image and not install"

check: $(VENV)/.dev lint ## lint, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# The linters' own switches: checkov looks nothing up on the internet, and its exceptions stand beside
# the resources with their reasons.
DOCKERFILES := $(wildcard Dockerfile* */Dockerfile*)
SCRIPTS     := .ci/run $(wildcard ami_build/image/*.sh docker/*.sh)
TEMPLATES   := $(wildcard ami_build/stack/*.yaml serverless/*.yaml)

lint: $(VENV)-lint/.lint ## containers, shell scripts, CloudFormation
	@$(VENV)-lint/bin/shellcheck $(SCRIPTS)
	@$(if $(DOCKERFILES),$(VENV)-lint/bin/hadolint $(DOCKERFILES))
	@$(if $(TEMPLATES),$(VENV)-lint/bin/cfn-lint $(TEMPLATES))
	@$(if $(TEMPLATES),$(VENV)-lint/bin/checkov --quiet --compact --skip-download \
		--framework cloudformation $(addprefix --file ,$(TEMPLATES)))

test-localstack: $(VENV)/.dev ## the SQS layer and the stack on a real LocalStack, no Docker
	@$(BIN)/python -m local.emulators.localstack sh -c '\
		$(BIN)/pytest -n 3 -m "not soak and not install" -k "not dynamodb" celery_sqs/tests/integration; \
		first=$$?; $(BIN)/pytest -m "not soak" tests/integration/ami_build && exit $$first'

celery-suite: $(VENV)-celery-suite/.installed ## Celery's and kombu's own tests, on Redis and on SQS (needs redis-server)
	@cd celery_sqs/tests && $(abspath $(VENV)-celery-suite)/bin/python -m celery_suite \
		--cache $(abspath $(VENV)-celery-suite)/sources --logs $(abspath $(VENV)-celery-suite)/logs $(SUITE)

# Minor versions of celery that celery_sqs/pyproject.toml declares, each with the newest kombu it declares.
COMPAT := 5.6 5.7

compat: $(COMPAT:%=$(VENV)-compat/%/.installed) ## what celery_sqs relies on inside Celery, in each version it declares
	@for version in $(COMPAT); do echo "celery $$version"; \
		$(VENV)-compat/$$version/bin/python -m pytest -q -c /dev/null --rootdir . --noconftest \
			-p no:cacheprovider -W ignore $(COMPAT_TESTS) || exit 1; done

COMPAT_TESTS := celery_sqs/tests/compat

test-install: $(VENV)/.dev models ## what is installed in an empty environment: the wheel of celery_sqs, the AWS CLI
	@$(BIN)/pytest -m install celery_sqs/tests tests/integration/webapp

test-aws-like: $(VENV)/.dev models ## on emulated AWS: deploy, run, update and destroy a system
	@$(BIN)/pytest -n 2 -m soak tests/aws_like
	@$(BIN)/pytest -n 2 tests/unit/ami_build tests/unit/storage tests/unit/test_machine_settings.py \
		tests/unit/autoscale/test_ec2_errors.py tests/integration/ami_build tests/integration/bake

test-image: $(VENV)/.dev models ## the machine image, built and booted in containers (needs Docker)
	@$(BIN)/pytest -m image tests/system/image -s

containers: ## the whole system in containers on LocalStack, and its tests (needs Docker only)
	docker compose -f docker-compose.test.yml up --build --abort-on-container-exit --exit-code-from tests

images: ## the images of worker, web, controller and Flower, for a registry of yours (needs Docker)
	@for role in worker web controller flower; do docker build --target $$role -t facerec-$$role . || exit 1; done

parity: $(VENV)/.dev models ## compare the engine with the originals in torch and dlib
	@$(BIN)/python -m benchmarks.parity

soak: $(VENV)/.dev models ## long load and fault runs
	@$(BIN)/pytest -m soak --timeout 1800
	@$(BIN)/pytest -m "hypothesis and not soak" --timeout 1800 --hypothesis-profile soak -n 2

bench: $(VENV)/.dev models ## the benchmarks of docs/benchmarks.md, one after another
	@for part in engine pipeline autoscale video; do $(BIN)/python -m benchmarks.$$part --json || exit 1; done

facenet: $(VENV)/.run ## convert FaceNet from its release or torch's cache
	@$(BIN)/python -m facerec_tasks.recognition.conversion.convert --out models --engine facenet

models: $(VENV)/.run ## convert the networks once
	@$(BIN)/python -m facerec_tasks.recognition.conversion.convert --out models

clean: ## remove everything that was made here
	rm -rf $(VENV) $(VENV)-celery-suite $(VENV)-compat $(VENV)-lint $(VENV)-localstack $(VENV)-parity models .local

# A stamp a set of pins: a changed pin installs again, an unchanged one costs nothing.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; set PYTHON=..." >&2; exit 1; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/local.txt requirements/data.txt pyproject.toml celery_sqs/pyproject.toml | $(VENV)/bin/python
	@echo "installing (once, about two minutes)"
	@$(PIP) install --quiet --progress-bar=on --no-deps -r requirements/local.txt -r requirements/data.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation -e ./celery_sqs -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	@echo "installing what the tests need"
	@$(PIP) install --quiet --no-deps -r requirements/dev.txt
	@touch $@

$(VENV)-celery-suite/.installed: requirements/celery-suite.txt celery_sqs/pyproject.toml | $(VENV)/bin/python
	@echo "installing what Celery's own tests need"
	@$(PYTHON) -m venv $(VENV)-celery-suite
	@$(VENV)-celery-suite/bin/pip --disable-pip-version-check install --quiet --no-compile --no-deps \
		-r requirements/celery-suite.txt
	@$(VENV)-celery-suite/bin/pip --disable-pip-version-check install --quiet --no-deps \
		--no-build-isolation -e ./celery_sqs
	@touch $@

$(VENV)-compat/%/.installed: celery_sqs/pyproject.toml Makefile | $(VENV)/bin/python
	@echo "installing celery $*"
	@$(PYTHON) -m venv $(VENV)-compat/$*
	@$(VENV)-compat/$*/bin/pip --disable-pip-version-check install --quiet --no-compile \
		"celery==$*.*" pytest -e "./celery_sqs[flower]"
	@touch $@

$(VENV)-lint/.lint: requirements/lint.txt | $(VENV)/bin/python
	@echo "installing the linters"
	@$(PYTHON) -m venv $(VENV)-lint
	@$(VENV)-lint/bin/pip --disable-pip-version-check install --quiet --no-compile --no-deps \
		-r requirements/lint.txt
	@touch $@

.PHONY: pins
pins: $(VENV)/.dev ## pin requirements/*.in again
	@$(PIP) install --quiet pip-tools
	@for role in worker web controller flower convert local dev tracing integration lint celery-suite lambda-video-splitting lambda-face-recognition; do \
		$(BIN)/pip-compile --quiet --strip-extras --allow-unsafe --no-header \
			--no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
			--output-file requirements/$$role.txt requirements/$$role.in || exit 1; \
	done
	@$(BIN)/python requirements/hashes.py

.PHONY: hashes
hashes: $(VENV)/.dev ## the hashes of what the machine image installs (make pins does it too)
	@$(BIN)/python requirements/hashes.py

# Tools of an environment that is thrown away: nothing of ours depends on them.
TOOLS = t=$$(mktemp -d) && trap 'rm -rf $$t' EXIT && $(PYTHON) -m venv $$t \
	&& $$t/bin/pip --disable-pip-version-check install --quiet

.PHONY: licences audit
licences: $(VENV)/.dev ## write requirements/LICENCES.md again
	@$(TOOLS) pip-licenses==5.5.5 \
		&& $$t/bin/pip-licenses --python=$(BIN)/python --with-system --from=mixed --format=json \
		| $(BIN)/python requirements/licences.py >$$t/made && mv $$t/made requirements/LICENCES.md

audit: ## known vulnerabilities of all pins (needs the internet)
	@$(TOOLS) pip-audit==2.10.1 \
		&& $$t/bin/pip-audit --strict --disable-pip --no-deps $(patsubst %,-r %,$(wildcard requirements/*.txt))
