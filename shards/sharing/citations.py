"""How the datasets of known names ask to be cited."""

from shards.manifest import Manifest

CITATIONS = {
    "hmdb51": "H. Kuehne, H. Jhuang, E. Garrote, T. Poggio, T. Serre. HMDB: A Large Video Database for Human Motion "
    "Recognition. ICCV 2011.",
    "ucf101": "K. Soomro, A. R. Zamir, M. Shah. UCF101: A Dataset of 101 Human Actions Classes From Videos in The "
    "Wild. CRCV-TR-12-01, 2012.",
    "kinetics_n50": "W. Kay et al. The Kinetics Human Action Video Dataset. arXiv:1705.06950, 2017.",
}


def citation_of(manifest: Manifest) -> str:
    """The citation of the dataset that a set was built from; "" if it is not known."""
    return CITATIONS.get(str(manifest.dataset.get("name", "")), "")
