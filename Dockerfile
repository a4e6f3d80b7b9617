# LASS3D in a container, with the versions of constraints.txt.
#
#   docker build --target cuda -t lass3d:cuda .
#   docker build --target cpu -t lass3d:cpu .
#   docker run --rm --gpus all --shm-size=8g -v "$PWD:/work" lass3d:cuda lass3d-train run --ratio 1
#   docker run --rm -v "$PWD:/work" lass3d:cpu lass3d-predict model.safetensors scan.bin
#
# Commands read data_manifest.yaml in /work, the mounted folder, and write beside it. The image has one of its own,
# which an empty mount hides: `docker run --rm lass3d:cpu cat data_manifest.yaml > data_manifest.yaml` copies it.
# On Linux PyTorch's package brings CUDA along, so no stage needs an image of CUDA; the machine has the driver.

ARG PYTHON=3.11.11-slim-bookworm

FROM python:${PYTHON} AS wheel
WORKDIR /source
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY lass3d_core lass3d_core
COPY preprocess preprocess
COPY train train
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM python:${PYTHON} AS runtime
ENV OMP_NUM_THREADS=1 \
    NUMBA_CACHE_DIR=/tmp/numba \
    PYTHONUNBUFFERED=1
RUN useradd --uid 1000 --create-home lass3d && mkdir /work && chown lass3d /work
COPY constraints.txt /constraints.txt
COPY --from=wheel /wheel /wheel
WORKDIR /work
CMD ["lass3d-train", "--help"]

# Without CUDA if TORCH_INDEX is the address of PyTorch's CPU builds, as PyTorch's page of installation names it:
#   docker build --target cpu --build-arg TORCH_INDEX=ADDRESS -t lass3d:cpu .
FROM runtime AS cpu
ARG EXTRAS=
ARG TORCH_INDEX=
RUN if [ -n "$TORCH_INDEX" ]; then \
        python -m pip install --no-cache-dir --index-url "$TORCH_INDEX" "$(grep '^torch==' /constraints.txt)"; \
    fi && \
    wheel=$(echo /wheel/lass3d-*.whl) && \
    python -m pip install --no-cache-dir --constraint /constraints.txt "$wheel${EXTRAS:+[$EXTRAS]}"
COPY --chown=lass3d data_manifest.yaml ./
USER 1000

# Triton compiles its launchers with a C compiler when a kernel first runs.
FROM runtime AS cuda
ARG EXTRAS=triton
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
# The base image fixes Debian's release; a version of a package would vanish with its next update.
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install --yes --no-install-recommends gcc libc6-dev && \
    rm -rf /var/lib/apt/lists/*
RUN wheel=$(echo /wheel/lass3d-*.whl) && \
    python -m pip install --no-cache-dir --constraint /constraints.txt "$wheel${EXTRAS:+[$EXTRAS]}"
COPY --chown=lass3d data_manifest.yaml ./
USER 1000
