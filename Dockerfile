# The image of all programs; which one a container is stands in its command (main.py --only).
# Everything is installed from wheels, so nothing here compiles and no compiler is needed.
FROM python:3.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /venv
COPY requirements.lock /
RUN /venv/bin/pip install --require-hashes --only-binary=:all: -r /requirements.lock \
    && /venv/bin/pip uninstall --yes pip
COPY . /app
RUN /venv/bin/python -m compileall -q /app

FROM python:3.13-slim-bookworm
# Whoever breaks into a program finds no shell login, no pip and nothing that they could write.
RUN groupadd --gid 10001 mailing \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin mailing \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/mailing-manager /secrets
COPY --from=build /venv /venv
COPY --from=build /app /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    VAR_DIR=/var/lib/mailing-manager
WORKDIR /app
USER 10001:10001
VOLUME /var/lib/mailing-manager
EXPOSE 8000
# Of the web server; a container of another program has none (docs/operations.md).
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "deploy/healthy.py"]
ENTRYPOINT ["python"]
CMD ["main.py", "--only=web", "--host=0.0.0.0"]
