/** A part of a picture or of a map, in its pixels or features, from its upper left corner; they may be parts of whole ones. */
export interface Rectangle {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}
