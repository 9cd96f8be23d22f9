"""A fixed-width bitmap font for notices: printable ASCII, 10x20 pixels.

Made from `10x20.pcf.gz` ("-Misc-Fixed-Medium-R-Normal--20-200-75-75-C-100-ISO8859-1") of font-misc-misc, as
Debian's xfonts-base 1:1.0.5 ships it. Its licence in full: "Public domain font. Share and enjoy."
"""

import base64
import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

GLYPH_WIDTH: Final = 10
GLYPH_HEIGHT: Final = 20
FIRST: Final = 0x20
LAST: Final = 0x7E

# 95 glyphs of 20 rows of 10 bits without padding, deflated
_GLYPHS: Final = (
    b"c-"
    b"oCt&1%~~5SCDoFG_M<5!dP?NEku_p}zGcdXW*xm$*$S6sLq{A)xl)2T*WmU!kQCdMHIE;9N}4&P}19UV1R}k`|+OcD2&}NDk"
    b"eDZ11--JM+yqBWv0{%e4$GVGj)+6)^8w(}#^Fn`i#w?~XbBnD4?@!BuZ3oPIdmP8PeHlVHhRY5S9K`P0;K;_kfpboi~>KOzp"
    b"6Xv>^Vg7|v$OOC4PcFP37N8rncBfeDu2?BubBg=rBL?gqUcbwaF-mSTVq@9#zzILU1ZDq$v?<3T}=^p<D@wgVv9FfR*f*tG1"
    b"i~4bBN5FH+xpLdvW>OVpnpeQ6i$aoLlKS9FR{_JouGx<RcT@ozhMp`ByJ+U+th_9yoD%r7P56>5z|~^{%<M>VrRVGNAeTc5t"
    b"us%yU_gI-yD;^)B2cU?12cBl0&O7=oIui~-a2+Sr1Ol3Q!H)*6;u#lL<EDCsE9vB?F2afI-"
    b"G<zUqWP{lUkt$zl&;B_bx*qb{skpEu(iQxgs*8S`<mV3n(RV@!%G$9=;P5X8Ae*t9RHLE!5tt%7VFnpV>;dxzOj5u6lewKv("
    b"{e=xXN0p+i)KW`e6SH&YEa>R<fW&k2c_^5xO<i@|vY!122v&Nxu2q@bjUtLxi_%$ddT{JVQnLV|@HF5}8=fhcrY)Dk6J40=@"
    b"~H7c@)$Y4xIodye<`HPE8%)CFoa^bL^j=I*Y0jOP0TMe45_z?Ph<x26c#2L=UVKD=_g`D3?6!i>g|FKTXPA8pr&pF5PQBKJD"
    b"qo{<<l7aWRW<i@oY_&p955`Q?FBJ=j+0JE)12~EO*OeL-i$`(hjf3q-"
    b"TanOKwWtJ%lEDpQ?V#QtBzdH@D!qe88Ub?^*wHjSv0(~S$Cv9`tyoW-"
    b"?B<e6MFAS4Dl=Ect7HM}%1xqi5^0zmc(xU=*c4Yi6lyCS7c_|#DcOw=6pOMyYK0<^&O0qEj8|>}nGf#fDlmpuphaFHYwwU>R"
    b"9X+S*`5n5QN}wgzfR*{9I4gPVoy(tLh;vnHat&i8vh4wpQ^+"
)


def glyphs() -> NDArray[np.bool_]:
    """Every glyph from FIRST to LAST: (95, GLYPH_HEIGHT, GLYPH_WIDTH), True where there is ink."""
    packed = np.frombuffer(zlib.decompress(base64.b85decode(_GLYPHS)), np.uint8)
    count = LAST - FIRST + 1
    bits = np.unpackbits(packed, count=count * GLYPH_HEIGHT * GLYPH_WIDTH)
    return bits.reshape(count, GLYPH_HEIGHT, GLYPH_WIDTH).astype(np.bool_)
