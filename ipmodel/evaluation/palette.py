"""The colours of plots and pages."""

# Okabe and Ito 2008: eight colours that people tell apart whatever colours they see, black last.
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
