// What the page asks its worker for, as plain data.
import type { CheckpointPrice, CheckResult, Grid, Head, KeptCheckpoint, KernelOp, SourcePlace } from 'headlight-vlm';
import type { Prediction, Project, SelectedHead } from 'headlight-vlm/sav';
import type { BenchmarkFile, BenchmarkResult, Comparison, Roofline } from 'headlight-vlm/verify';

/** A picture of the page's, with what it is called in errors. */
export interface Row {
  readonly id: number;
  readonly name: string;
  readonly file: Blob;
}

export interface LabelledRow extends Row {
  readonly label: string;
}

/** A checkpoint, and what it is called. */
export interface ModelSource {
  readonly name: string;
  /** Where it is, or its files. */
  readonly at: string | readonly File[];
  /** Whether this browser keeps what it reads of an address. */
  readonly isKept?: true;
  /** How matrices are kept on the GPU; default as they are stored. */
  readonly weights?: 'q8' | 'q4';
}

/** The model that is open, and what it runs on. */
export interface OpenModel {
  readonly name: string;
  readonly nLayers: number;
  readonly nHeads: number;
  readonly dHead: number;
  readonly adapter: string;
  /** No GPU: it runs on the processor, and far slower. */
  readonly software: boolean;
}

/** How a classifier is made, as project files have it. */
export type FitSettings = Project['fit'];

export interface FitRequest {
  readonly question: string;
  readonly rows: readonly LabelledRow[];
  readonly options: FitSettings;
}

/** A project, to be written into its file. */
export interface ProjectRequest {
  readonly question: string;
  readonly fit: FitSettings;
  /** Those without a label are to be classified. */
  readonly rows: readonly (Row & Partial<LabelledRow>)[];
}

/** A project from its file. */
export interface OpenedProject {
  readonly question: string;
  readonly fit: FitSettings;
  readonly pictures: readonly { readonly name: string; readonly label?: string; readonly file: Blob }[];
  /** Whether a fit runs the model for none of its pictures. */
  readonly isKnown: boolean;
  /** What the user should know of its head vectors. */
  readonly note?: string;
}

/** A picture that the model cannot be shown. */
export interface Unreadable {
  readonly id: number;
  readonly problem: string;
}

/** A training picture that most heads would label otherwise. */
export interface Doubt {
  readonly id: number;
  readonly suggested: string;
  readonly against: number;
  readonly heads: number;
}

/** What leave-one-out says of the whole classifier, choice of heads included. */
export interface Judged {
  /** The label that each picture gets from a classifier fitted without it, by its id. */
  readonly predicted: readonly { readonly id: number; readonly truth: string; readonly label: string }[];
  readonly n: number;
  readonly correct: number;
  readonly interval: readonly [low: number, high: number];
  readonly chance: number;
  /** Rows: true label; columns: label that was given. */
  readonly confusion: readonly (readonly number[])[];
  readonly recall: readonly (number | null)[];
}

/** A classifier, for people. */
export interface Fitted {
  readonly question: string | undefined;
  readonly labels: readonly string[];
  readonly counts: readonly number[];
  readonly heads: readonly SelectedHead[];
  readonly nExamples: number;
  /** Training pictures that each head got right, [nLayers, nHeads]; absent for a classifier from a file. */
  readonly correct?: Int32Array;
  readonly judged?: Judged;
  readonly doubts: readonly Doubt[];
  readonly notes: readonly string[];
  /** Left out. */
  readonly unreadable: readonly Unreadable[];
  /** Pictures that were shown to the model for this; the others were known. */
  readonly forwards: number;
}

/** What the classifier says of a picture. */
export interface Answered extends Prediction {
  readonly id: number;
  /** The training picture that the heads find most alike; absent for a classifier from a file. */
  readonly nearest?: { readonly id: number; readonly similarity: number };
}

export interface Classified {
  readonly answers: readonly Answered[];
  readonly unreadable: readonly Unreadable[];
}

/** A picture and a question about it. */
export interface Asked {
  readonly row: Row;
  readonly question: string;
}

export interface LookRequest extends Asked {
  readonly head: Head;
}

/** How much a head attends to the places of a picture. */
export interface AttentionGrid extends Pick<Grid, 'label' | 'rows' | 'columns' | 'area'> {
  /** [rows, columns] */
  readonly values: Float32Array;
}

/** Where a head looks, and what it writes. */
export interface Looked {
  readonly grids: readonly AttentionGrid[];
  /** What all tokens of the picture are given. */
  readonly share: number;
  readonly promoted: readonly string[];
  readonly suppressed: readonly string[];
}

/** A head whose output is scaled: 0 cuts it. */
export interface HeadScale extends Head {
  readonly scale: number;
}

/** What is changed inside the model. */
export interface Changes {
  readonly scales: readonly HeadScale[];
  /** Heads that vote are moved from the mean of one class to that of another, so many times. */
  readonly steer?: { readonly from: string; readonly to: string; readonly strength: number };
  /** Whether norms at the last position divide by what they do without changes. */
  readonly freezeNorms: boolean;
}

export interface TryRequest extends Asked {
  readonly changes: Changes;
}

/** A token, for people, and how likely it is. */
export interface Word {
  readonly text: string;
  readonly probability: number;
}

/** What a layer would say next, the likeliest first. */
export interface LensRow {
  readonly layer: number;
  readonly top: readonly Word[];
}

/** What the model says next, and how the classifier votes. */
export interface Tried {
  readonly next: readonly Word[];
  readonly answer?: Answered;
}

export interface WriteRequest extends LookRequest {
  readonly changes: Changes;
}

/** A token that the model wrote, and where a head looked when it was chosen. */
export interface WrittenToken extends Pick<Looked, 'grids' | 'share'> {
  readonly text: string;
}

/** What kernels can be measured on here. */
export interface KernelTable {
  readonly adapter: BenchmarkResult['adapter'];
  readonly problems: readonly { readonly op: string; readonly name: string }[];
  /** Operations whose kernels can be replaced. */
  readonly ops: readonly KernelOp[];
}

/** WGSL in the place of ours. */
export interface OwnKernel {
  readonly op: KernelOp;
  readonly wgsl: string;
}

export interface TimeRequest {
  /** By its name. */
  readonly problem: string;
  readonly rounds: number;
  /** As it was measured before; absent: it is measured. */
  readonly roofline?: Roofline;
  /** Takes turns with ours. */
  readonly own?: OwnKernel;
}

export interface TimedKernels {
  readonly result: BenchmarkResult;
  /** Candidates whose output is wrong, which are not timed, and why. */
  readonly wrong: readonly string[];
}

/** What came of a check against float64, or why the source does not run at all. */
export type CheckedKernel =
  | { readonly result: CheckResult; readonly refused?: undefined }
  | {
      readonly refused: { readonly message: string; readonly places: readonly SourcePlace[] };
      readonly result?: undefined;
    };

export interface FileRequest {
  readonly result: BenchmarkResult;
  readonly check?: CheckResult;
}

/** A file, and what it is called. */
export interface NamedBytes {
  readonly bytes: Uint8Array;
  readonly name: string;
}

/** All that the worker does. */
export type WorkerCalls = {
  /** From here on head vectors are kept no longer than the page is open. */
  keepNothing: { takes: undefined; gives: undefined };
  open: { takes: ModelSource; gives: OpenModel };
  /** What a checkpoint takes, before its weights are read. */
  price: { takes: ModelSource; gives: CheckpointPrice };
  fit: { takes: FitRequest; gives: Fitted };
  classify: { takes: { readonly rows: readonly Row[]; readonly question: string }; gives: Classified };
  look: { takes: LookRequest; gives: Looked };
  lens: { takes: Asked; gives: readonly LensRow[] };
  try: { takes: TryRequest; gives: Tried };
  write: { takes: WriteRequest; gives: undefined; tells: WrittenToken };
  /** Checkpoints that this browser keeps. */
  kept: { takes: undefined; gives: readonly KeptCheckpoint[] };
  free: { takes: string; gives: undefined };
  /** The classifier's file, as the command line reads it. */
  save: { takes: undefined; gives: Uint8Array<ArrayBuffer> };
  read: { takes: NamedBytes; gives: Fitted };
  saveProject: { takes: ProjectRequest; gives: Uint8Array<ArrayBuffer> };
  openProject: { takes: NamedBytes; gives: OpenedProject };
  kernelTable: { takes: undefined; gives: KernelTable };
  kernelHeader: { takes: KernelOp; gives: string };
  /** Verifies, then times. */
  timeKernels: { takes: TimeRequest; gives: TimedKernels };
  checkKernel: { takes: OwnKernel; gives: CheckedKernel };
  /** What was measured, as `bench --json` says it. */
  benchmarkFile: { takes: FileRequest; gives: BenchmarkFile };
  readBenchmarks: { takes: File; gives: BenchmarkFile };
  compareBenchmarks: { takes: readonly [BenchmarkFile, BenchmarkFile]; gives: Comparison };
};
