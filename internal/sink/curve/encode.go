package curve

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/png"
)

// shades is how many steps of each colour there are on the way to the ground: the
// edges of lines and letters are blends of the two.
const shades = 48

// palette is the ground, and the other colours with their blends. A picture of few
// colours is written in a fifth of the time that all colours would take.
var palette = func() color.Palette {
	out := color.Palette{ground}
	for _, c := range []color.RGBA{ink, faint, released, baseline} {
		for i := range shades {
			blend := func(from, to uint8) uint8 { return uint8((int(from)*(shades-i) + int(to)*i) / shades) }
			out = append(out, color.RGBA{R: blend(c.R, ground.R), G: blend(c.G, ground.G), B: blend(c.B, ground.B), A: 0xff})
		}
	}
	return out
}()

// encode writes a picture as PNG, in the colours of the palette.
func encode(from image.Image) ([]byte, error) {
	rgba, ok := from.(*image.RGBA)
	if !ok {
		rgba = image.NewRGBA(from.Bounds())
		draw.Draw(rgba, rgba.Rect, from, from.Bounds().Min, draw.Src)
	}
	to := image.NewPaletted(rgba.Rect, palette)
	known := map[color.RGBA]uint8{ground: 0}
	for y := range rgba.Rect.Dy() {
		row := rgba.Pix[y*rgba.Stride:]
		for x := range rgba.Rect.Dx() {
			c := color.RGBA{R: row[4*x], G: row[4*x+1], B: row[4*x+2], A: row[4*x+3]}
			if c == ground {
				continue // what it is from the start
			}
			index, ok := known[c]
			if !ok {
				index = uint8(palette.Index(c))
				known[c] = index
			}
			to.Pix[y*to.Stride+x] = index
		}
	}
	var buf bytes.Buffer
	err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&buf, to)
	return buf.Bytes(), err
}
