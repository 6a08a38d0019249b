# What a container of a docker or kubernetes pool runs: docker build -t tav . (docs/scale.md)
FROM python:3.13-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends git openssh-client \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/tav
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt ".[s3]"
# One DVC cache for all clones of a container: mount a volume there to keep it.
RUN dvc config --system cache.dir /cache \
 && useradd --create-home --uid 1000 tav \
 && install -d -o tav -g tav /cache /work
USER tav
WORKDIR /work
ENV HF_HOME=/cache/huggingface PYTHONUNBUFFERED=1 OMP_WAIT_POLICY=PASSIVE DO_NOT_TRACK=1
