#!/bin/bash
# Written by experiments.make_serving_config; see docs/serving.md.
# Starts a server; SERVER names the binary, arguments are added.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
exec "${SERVER:-tensorflow_model_server}" \
{% for flag in arguments %}
  {{ flag }} \
{% endfor %}
  "$@"
