# Tidings in a small image: `docker build -t tidings .`, then see compose.yaml.
FROM python:3.13-slim-bookworm AS build
WORKDIR /opt/tidings
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements/run.txt requirements/build.txt requirements/
# Wheels alone, each checked by its hash.
RUN python -m venv /opt/tidings/venv \
    && venv/bin/pip install --quiet --only-binary :all: --require-hashes -r requirements/run.txt \
    && venv/bin/pip install --quiet --only-binary :all: --require-hashes -r requirements/build.txt
# Node comes as a wheel in a venv that stays behind here.
COPY package.json package-lock.json .npmrc ./
COPY requirements/node.txt requirements/scripts requirements/bundle.mjs requirements/
COPY src/tidings/web/scripts src/tidings/web/scripts
RUN python -m venv /opt/node && requirements/scripts /opt/node/bin/python
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN venv/bin/pip install --quiet --no-index --no-deps --no-build-isolation . \
    && venv/bin/pip uninstall --quiet --yes hatchling pip

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin tidings \
    && install -d -m 700 -o tidings -g tidings /data
COPY --from=build /opt/tidings/venv /opt/tidings/venv
ENV PATH=/opt/tidings/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TIDINGS_HOST=0.0.0.0 \
    TIDINGS_PORT=8080 \
    TIDINGS_DATABASE=sqlite:////data/tidings.db
# By number: an orchestrator that forbids root can tell without the image's list of users.
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/ready', timeout=4)"]
CMD ["tidings", "serve"]
