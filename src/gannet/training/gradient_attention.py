"""Gradient attention: learn how much of each pair's derivative each of its two codes should take.

Huang, Chen, Pan, *Accelerate Learning of Deep Hashing With Gradient Attention* (ICCV 2019); used without
labels by Jiang et al., *Unsupervised Hashing with Gradient Attention* (Symmetry 2020, 12(7), 1193).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gannet.training.preprocessing import preprocess


class GradientAttention(nn.Module):
    """Weigh the derivatives of every pair and bit between the pair's two sides.

    A similar pair that differs in a bit, such as (+0.1, -0.1), is pulled both ways at once by the plain
    gradient: both signs flip and the Hamming distance stays. One small network scores each side of each pair
    and bit from its code value, its pair derivative and its batch derivative; a softmax over the two
    sides gives weights that sum to one, and the weighted derivatives ``2 * weight * derivative`` take the place of
    the plain gradient. Equal weights give the plain gradient back exactly.

    Parameters: ``hidden``, the width of the scoring network (GAH: 100; 16 serves as well and is faster).
    """

    def __init__(self, hidden: int = 16) -> None:
        super().__init__()
        self.fc_in = nn.Linear(5, hidden)
        self.fc_out = nn.Linear(hidden, 1)

    def forward(self, codes_a: Tensor, codes_b: Tensor, pair_gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighted derivatives of the loss in both sides' codes.

        Parameters: ``codes_a (n, k)`` and ``codes_b (m, k)``, real-valued codes; ``pair_gradient (n, m)``, the loss's
        derivative in each inner product ``codes_a @ codes_b.T``.
        Returns: ``(weighted_a (n, k), weighted_b (m, k))``, differentiable in this module's parameters.
        """
        codes_a, codes_b, pair_gradient = codes_a.detach(), codes_b.detach(), pair_gradient.detach()
        item_a = self._item_part(codes_a, pair_gradient @ codes_b)
        item_b = self._item_part(codes_b, pair_gradient.T @ codes_a)
        w, v = self.fc_in.weight[:, 1:3], self.fc_out.weight[0]
        if codes_a.device.type == "cpu" and codes_a.dtype in (torch.float32, torch.float64):
            from gannet.training._attention_kernel import weigh

            return weigh(item_a.transpose(1, 2), item_b.permute(2, 0, 1), codes_a, codes_b, pair_gradient, w, v)
        # The two derivatives of pair (i, j) and bit b are G_ij B_jb and G_ij A_ib.
        pair_a = pair_gradient[:, :, None] * codes_b
        pair_b = pair_gradient[:, :, None] * codes_a[:, None]
        score_a = torch.relu(item_a[:, None] + preprocess(pair_a) @ w.T) @ v
        score_b = torch.relu(item_b + preprocess(pair_b) @ w.T) @ v
        # The softmax over two scores is a sigmoid of their difference; fc_out's bias cancels in it.
        weight_a = torch.sigmoid(score_a - score_b)
        return (2 * weight_a * pair_a).sum(dim=1), (2 * (1 - weight_a) * pair_b).sum(dim=0)

    def _item_part(self, codes: Tensor, batch_derivative: Tensor) -> Tensor:
        """Return the first layer's sum over what all pairs of a code have in common, ``(n, k, hidden)``."""
        items = torch.cat([codes[..., None], preprocess(batch_derivative)], dim=-1)
        return nn.functional.linear(items, self.fc_in.weight[:, [0, 3, 4]], self.fc_in.bias)
