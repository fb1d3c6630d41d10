# The images of the operator and of workers, from one wheel: the targets operator and worker, which `make images` builds.
#
# What is installed is what constraints.txt says, from wheels, so no compiler is ever needed. For the same bytes
# at every build, name the base by digest (--build-arg BASE=python:3.11.14-slim-bookworm@sha256:...) and let BuildKit
# set the times of files too: SOURCE_DATE_EPOCH=$(git log -1 --pretty=%ct) docker buildx build
# --output type=image,rewrite-timestamp=true ...
#
# Nothing is written below / at run time, but for /tmp: a read-only root file system needs that one volume.

ARG BASE=python:3.11.14-slim-bookworm

# --- the wheel ------------------------------------------------------------------------------------------
FROM ${BASE} AS wheel
ARG SOURCE_DATE_EPOCH=0
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY constraints.txt ./
# The backends come from constraints.txt as well: an isolated build would take the newest ones. nkeys, by which a .creds
# file logs in, is pure Python and published as source alone: its wheel is made here.
RUN pip install --no-cache-dir --constraint constraints.txt hatchling setuptools && \
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} \
    pip wheel --no-cache-dir --no-deps --no-build-isolation --constraint constraints.txt --wheel-dir /wheels nkeys
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
COPY worker worker
RUN SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} \
    pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

# --- what both images have ------------------------------------------------------------------------------
FROM ${BASE} AS base
# 65532 is the "nonroot" of distroless images: a number, so that Kubernetes can check runAsNonRoot, and no user of
# that number need exist.
ENV HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
LABEL org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="JobRun"
WORKDIR /app

# --- the worker: with the handlers of a team on top -------------------------------------------------------
#
#     FROM ghcr.io/jobrun/worker:0.1.0
#     COPY push.py ./
FROM base AS worker
ARG SOURCE_DATE_EPOCH=0
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    --mount=type=bind,source=constraints.txt,target=/constraints.txt \
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} PIP_ROOT_USER_ACTION=ignore \
    pip install --no-cache-dir --only-binary :all: --find-links /wheels --constraint /constraints.txt \
        "jobrun[worker] @ file://$(echo /wheels/jobrun-*.whl)"
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="jobrun-worker" \
      org.opencontainers.image.description="Runs the tasks of a JobRun with your handler" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
ENTRYPOINT ["jobrun"]
CMD ["worker"]

# --- the operator; the last target, and so the default -----------------------------------------------------
FROM base AS operator
ARG SOURCE_DATE_EPOCH=0
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    --mount=type=bind,source=constraints.txt,target=/constraints.txt \
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} PIP_ROOT_USER_ACTION=ignore \
    pip install --no-cache-dir --only-binary :all: --find-links /wheels --constraint /constraints.txt \
        "jobrun[operator] @ file://$(echo /wheels/jobrun-*.whl)"
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="jobrun-operator" \
      org.opencontainers.image.description="Reconciles JobRuns: X tasks, at Y a minute, on 0 to N workers" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
ENTRYPOINT ["jobrun"]
CMD ["operator"]
