# SPDX-License-Identifier: Apache-2.0
"""Networks: tensors in, logits out; and where their weights are found."""
