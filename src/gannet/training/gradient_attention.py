"""Gradient attention: a network that divides the derivative of each pair between its two codes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gannet.training.preprocessing import preprocess


class GradientAttention(nn.Module):
    """A network that divides the derivative of every pair and bit between the pair's two codes.

    The plain gradient pulls both sides of a similar pair that differs in a bit, such as (+0.1, -0.1), towards each
    other's place: both signs flip, and the Hamming distance stays. Gradient attention [1]_ scores each side of each
    pair and bit with one small network, from the code value, the derivative of the pair and the derivative of the
    batch. A softmax over the two sides gives weights with the sum one, and the weighted derivatives ``2 * weight *
    derivative`` replace the plain gradient. Equal weights give exactly the plain gradient. It was used without labels
    in [2]_.

    `PairwiseTrainer` trains this network together with the network that makes the codes.

    Parameters
    ----------
    hidden : int, default=16
        Width of the network (Huang et al.: 100; 16 is as good and faster).

    References
    ----------
    .. [1] Huang, Chen, Pan, "Accelerate Learning of Deep Hashing With Gradient Attention", ICCV 2019.
    .. [2] Jiang, Wang, Cheng, Du, Li, "Unsupervised Hashing with Gradient Attention", Symmetry 2020, 12(7), 1193.

    Examples
    --------
    >>> import torch
    >>> from gannet import GradientAttention
    >>> attention = GradientAttention()
    >>> weighted_a, weighted_b = attention(torch.rand(8, 16), torch.rand(6, 16), torch.rand(8, 6))
    >>> weighted_a.shape, weighted_b.shape
    (torch.Size([8, 16]), torch.Size([6, 16]))
    """

    def __init__(self, hidden: int = 16) -> None:
        super().__init__()
        self.fc_in = nn.Linear(5, hidden)
        self.fc_out = nn.Linear(hidden, 1)

    def forward(self, codes_a: Tensor, codes_b: Tensor, pair_gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighted derivatives of the loss in the codes of both sides.

        Parameters
        ----------
        codes_a : Tensor of shape (n, k)
            Real-valued codes of one side.
        codes_b : Tensor of shape (m, k)
            Real-valued codes of the other side.
        pair_gradient : Tensor of shape (n, m)
            Derivative of the loss in each inner product ``codes_a @ codes_b.T``.

        Returns
        -------
        weighted_a : Tensor of shape (n, k)
            Weighted derivatives in the codes of one side, differentiable in the parameters of this module.
        weighted_b : Tensor of shape (m, k)
            Weighted derivatives in the codes of the other side.
        """
        codes_a, codes_b, pair_gradient = codes_a.detach(), codes_b.detach(), pair_gradient.detach()
        item_a = self._item_part(codes_a, pair_gradient @ codes_b)
        item_b = self._item_part(codes_b, pair_gradient.T @ codes_a)
        w, v = self.fc_in.weight[:, 1:3], self.fc_out.weight[0]
        if codes_a.device.type == "cpu" and codes_a.dtype in (torch.float32, torch.float64):
            from gannet.training._attention_kernel import weigh

            return weigh(item_a, item_b, codes_a, codes_b, pair_gradient, w, v)
        # The two derivatives of pair (i, j) and bit b are G_ij B_jb and G_ij A_ib.
        pair_a = pair_gradient[:, :, None] * codes_b
        pair_b = pair_gradient[:, :, None] * codes_a[:, None]
        score_a = torch.relu(item_a.movedim(0, -1)[:, None] + preprocess(pair_a) @ w.T) @ v
        score_b = torch.relu(item_b.movedim(0, -1) + preprocess(pair_b) @ w.T) @ v
        # The softmax over two scores is a sigmoid of their difference; fc_out's bias cancels in it.
        weight_a = torch.sigmoid(score_a - score_b)
        return (2 * weight_a * pair_a).sum(dim=1), (2 * (1 - weight_a) * pair_b).sum(dim=0)

    def _item_part(self, codes: Tensor, batch_derivative: Tensor) -> Tensor:
        """Return the part of the first layer that all pairs of a code share, ``(hidden, n, k)``."""
        items = torch.cat([codes[None], preprocess(batch_derivative).movedim(-1, 0)])
        shared = torch.addmm(self.fc_in.bias[:, None], self.fc_in.weight[:, [0, 3, 4]], items.flatten(1))
        return shared.view(-1, *codes.shape)
