# SPDX-License-Identifier: Apache-2.0
read -r name || true
echo "Good day, ${name:-stranger}."
