# SQS, SNS and CloudWatch for every SDK, with faults, a clock and a judge: docs/sqs-server.md.
FROM python:3.12-slim
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY harness harness
COPY scenarios scenarios
RUN pip install --no-cache-dir '.[live]'
USER nobody
EXPOSE 9324
HEALTHCHECK --interval=2s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9324/_harness/health', timeout=2)"]
ENTRYPOINT ["harness", "sqs-server", "--host", "0.0.0.0", "--port", "9324", "--allow-remote"]
